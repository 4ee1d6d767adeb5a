# End-to-end tests: the program as its users run it, on a real VM.
#
#   vmdeck_e2e(<name> [ASAN] [TIMEOUT <seconds>] [LINK <library>…])
#
# The test is tests/e2e/<name>.sh, or tests/e2e/<name>_test.c linked with LINK. It runs in a home of
# its own (tests/e2e/run_test.sh: HOME, XDG_*, VMDECK, VMDECK_IMAGE) and fails if it leaves a
# process behind. ASAN: it also runs in the sanitizer build; the others are too slow there.
# The target e2e builds what they need and nothing else.
if(NOT TARGET vmdeck)
  return()
endif()
add_custom_target(e2e DEPENDS vmdeck)
set(E2E_IMAGE ${CMAKE_BINARY_DIR}/test-image)

add_test(NAME fixture.image
         COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/e2e/fixture_image.sh $<TARGET_FILE:vmdeck>
                 ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR} ${E2E_IMAGE})
set_tests_properties(fixture.image PROPERTIES FIXTURES_SETUP image LABELS e2e TIMEOUT 600)

add_library(test_support STATIC support/session.c)
target_include_directories(test_support PUBLIC ${CMAKE_CURRENT_SOURCE_DIR}/support)
target_link_libraries(test_support PUBLIC session_protocol)

function(vmdeck_e2e name)
  cmake_parse_arguments(ARG "ASAN" "TIMEOUT" "LINK" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  set(program ${CMAKE_CURRENT_SOURCE_DIR}/e2e/${name}.sh)
  if(NOT EXISTS ${program})
    add_executable(${name}_e2e e2e/${name}_test.c)
    target_link_libraries(${name}_e2e PRIVATE ${ARG_LINK} PkgConfig::CMOCKA)
    target_include_directories(${name}_e2e PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/unit)
    add_dependencies(e2e ${name}_e2e)
    set(program $<TARGET_FILE:${name}_e2e>)
  endif()
  set(label e2e)
  if(VMDECK_SANITIZE AND ARG_ASAN)
    set(label e2e-asan)
  endif()
  add_test(NAME e2e.${name}
           COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/e2e/run_test.sh $<TARGET_FILE:vmdeck> ${E2E_IMAGE}
                   ${ARG_TIMEOUT} ${program})
  math(EXPR limit "${ARG_TIMEOUT} + 30") # run_test.sh's own limit comes first, and cleans up
  set_tests_properties(e2e.${name} PROPERTIES FIXTURES_REQUIRED image LABELS ${label}
                                              TIMEOUT ${limit})
endfunction()

vmdeck_e2e(exec_basic ASAN)
vmdeck_e2e(exec_streams TIMEOUT 240)
vmdeck_e2e(exec_signals TIMEOUT 240)
vmdeck_e2e(exec_errors TIMEOUT 240)
vmdeck_e2e(exec_library LINK session_protocol test_support)
vmdeck_e2e(cp TIMEOUT 240)
vmdeck_e2e(fleet ASAN TIMEOUT 240)
vmdeck_e2e(spare)
vmdeck_e2e(template TIMEOUT 240)
vmdeck_e2e(snapshot TIMEOUT 300)
vmdeck_e2e(snapshot_files TIMEOUT 300)
vmdeck_e2e(snapshot_crash TIMEOUT 400)
vmdeck_e2e(suspend TIMEOUT 240)
