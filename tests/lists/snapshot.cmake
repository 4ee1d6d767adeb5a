vmdeck_unit(guest_quiet vm)
vmdeck_unit(template vm)
vmdeck_unit(agent_quiesce agent_peer)
