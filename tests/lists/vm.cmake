vmdeck_unit(vm vm)
vmdeck_fuzz(guest vm)
