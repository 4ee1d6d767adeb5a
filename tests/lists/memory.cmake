vmdeck_unit(memory vm)
vmdeck_fuzz(memory_map vm)

# By hand: memory_bench [DIRECTORY]
add_executable(memory_bench bench/memory_bench.c)
target_link_libraries(memory_bench PRIVATE vm)
