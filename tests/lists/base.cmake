vmdeck_unit(base base)
vmdeck_fuzz(wire agent_wire)
