# The network's link and flows. net_peer: a guest made by hand, for tests of what is above them too.
add_library(net_peer STATIC support/net_peer.c)
target_include_directories(net_peer PUBLIC ${CMAKE_CURRENT_SOURCE_DIR}/support)
target_link_libraries(net_peer PUBLIC net)

vmdeck_unit(net_link net_peer)
vmdeck_unit(net_dhcp net_peer)
vmdeck_unit(net_flow net_peer)

add_library(net_tap STATIC support/net_tap.c support/net_service.c)
target_include_directories(net_tap PUBLIC ${CMAKE_CURRENT_SOURCE_DIR}/support)
target_link_libraries(net_tap PUBLIC net)
vmdeck_unit(net_tap net_tap)
add_executable(flow_bench bench/flow_bench.c)
target_link_libraries(flow_bench PRIVATE net_tap)

vmdeck_fuzz(link_frame net_peer)
vmdeck_fuzz(dhcp net)
