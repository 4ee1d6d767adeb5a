vmdeck_unit(base base)
vmdeck_unit(late base)
vmdeck_fuzz(wire agent_wire)
