# The conformance program is static, as it runs in guests too.
add_executable(fs_conformance guest/fs_conformance.c)
if(NOT VMDECK_SANITIZE)
  target_link_options(fs_conformance PRIVATE -static -no-pie)
endif()
add_library(agent_shortcut STATIC ${CMAKE_SOURCE_DIR}/agent/shortcut.c)
target_include_directories(agent_shortcut PUBLIC ${CMAKE_SOURCE_DIR})
target_link_libraries(agent_shortcut PUBLIC base)
add_library(vfs_session STATIC support/vfs_guest.c support/vfs_session.c)
target_include_directories(vfs_session PUBLIC ${CMAKE_CURRENT_SOURCE_DIR}/support
                                              ${CMAKE_CURRENT_SOURCE_DIR}/unit)
target_link_libraries(vfs_session PUBLIC vm_vfs agent_shortcut PkgConfig::CMOCKA)

vmdeck_unit(vfs_mount vfs_session)
target_compile_definitions(vfs_mount_test PRIVATE CONFORMANCE="$<TARGET_FILE:fs_conformance>")
add_dependencies(vfs_mount_test fs_conformance)

vmdeck_unit(vfs_parts vm_vfs)
vmdeck_unit(vfs_hook vm_vfs)
vmdeck_unit(agent_shortcut agent_shortcut)
vmdeck_fuzz(fuse_request vm_vfs)
