# Checks of the text itself. The default build is enough for them: ./check leaves them out elsewhere.
function(vmdeck_lint name)
  add_test(NAME lint.${name} COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/lint/${name}.sh ${CMAKE_SOURCE_DIR}
                                     ${CMAKE_BINARY_DIR} ${ARGN})
  set_tests_properties(lint.${name} PROPERTIES LABELS lint TIMEOUT 900)
endfunction()

vmdeck_lint(format)
vmdeck_lint(style)
vmdeck_lint(includes)
vmdeck_lint(shell)
vmdeck_lint(man)
vmdeck_lint(cppcheck)
vmdeck_lint(tidy)
set_tests_properties(lint.cppcheck lint.tidy PROPERTIES PROCESSORS 2) # they share the work out themselves
if(TARGET vmdeck)
  vmdeck_lint(package ${PROJECT_VERSION})
endif()
