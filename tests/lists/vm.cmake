vmdeck_unit(vm vm)
