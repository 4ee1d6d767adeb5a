# The guest's agent: a static musl binary, built with musl-gcc beside the host's compiler and put
# into the program as a blob (vm/image/agent_blob.S). musl-gcc has no kernel headers, so the
# system's are searched last.
find_program(MUSL_GCC musl-gcc REQUIRED)
file(GLOB AGENT_SOURCES CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/agent/*.c)
list(APPEND AGENT_SOURCES ${CMAKE_SOURCE_DIR}/base/buf.c ${CMAKE_SOURCE_DIR}/base/frame.c)
file(GLOB AGENT_HEADERS CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/agent/*.h)
list(APPEND AGENT_HEADERS ${CMAKE_SOURCE_DIR}/base/buf.h ${CMAKE_SOURCE_DIR}/base/frame.h
     ${CMAKE_SOURCE_DIR}/vm/vfs/relay.h)
set(AGENT_BINARY ${CMAKE_BINARY_DIR}/vmdeck-agent)
add_custom_command(
  OUTPUT ${AGENT_BINARY}
  COMMAND ${MUSL_GCC} -std=c11 -D_GNU_SOURCE -Os -flto -static -s -Wall -Wextra -Wshadow -Wconversion
          -ffile-prefix-map=${CMAKE_SOURCE_DIR}=. -ffunction-sections -fdata-sections
          -Wl,--gc-sections -I${CMAKE_SOURCE_DIR}
          -idirafter /usr/include -idirafter /usr/include/${CMAKE_LIBRARY_ARCHITECTURE}
          -o ${AGENT_BINARY} ${AGENT_SOURCES}
  DEPENDS ${AGENT_SOURCES} ${AGENT_HEADERS}
  COMMENT "Building the guest's agent (static, musl)"
  VERBATIM)
add_custom_target(agent_binary ALL DEPENDS ${AGENT_BINARY})
