vmdeck_unit(net_proxy net)
vmdeck_unit(net_exchange net)
vmdeck_unit(net net_tap)
vmdeck_unit(net_via net)

# By hand: net_bench [MIB]
add_executable(net_bench bench/net_bench.c)
target_link_libraries(net_bench PRIVATE net_tap PkgConfig::CMOCKA)
target_include_directories(net_bench PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/unit)
vmdeck_fuzz(proxy net)
target_link_libraries(proxy_fuzz PRIVATE PkgConfig::CMOCKA)
target_include_directories(proxy_fuzz PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/unit)
