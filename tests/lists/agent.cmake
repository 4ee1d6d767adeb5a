# The agent without its boot, linked for the host: what its unit tests and fuzz target run.
file(GLOB agent_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/agent/*.c)
list(FILTER agent_sources EXCLUDE REGEX "/(main|init|modules|uevent|power|memory|wire)\\.c$")
add_library(agent_engine STATIC ${agent_sources})
target_include_directories(agent_engine PUBLIC ${CMAKE_SOURCE_DIR})
target_link_libraries(agent_engine PUBLIC agent_wire)
add_library(agent_peer STATIC ${CMAKE_CURRENT_SOURCE_DIR}/unit/agent_peer.c)
target_include_directories(agent_peer PUBLIC ${CMAKE_CURRENT_SOURCE_DIR}/unit)
target_link_libraries(agent_peer PUBLIC agent_engine PkgConfig::CMOCKA)

# malloc under another name, or it would be the test program's
add_library(agent_memory STATIC ${CMAKE_SOURCE_DIR}/agent/memory.c)
target_compile_definitions(agent_memory PRIVATE malloc=agent_malloc calloc=agent_calloc
                                                realloc=agent_realloc free=agent_free)
target_compile_options(agent_memory PRIVATE -Wno-missing-prototypes)

vmdeck_unit(wire agent_wire)
vmdeck_unit(agent_memory agent_memory)
vmdeck_unit(agent_users agent_engine)
vmdeck_unit(agent_command agent_peer)
vmdeck_unit(agent_flow agent_peer)
vmdeck_unit(agent_pty agent_peer)
vmdeck_unit(agent_owner agent_peer)
vmdeck_fuzz(agent_request agent_engine)
