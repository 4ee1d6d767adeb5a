# Benchmarks: built with everything else so that they keep compiling, run by hand (tests/bench/).
if(TARGET test_support)
  add_executable(command_bench bench/command_bench.c)
  target_link_libraries(command_bench PRIVATE test_support)
endif()
