vmdeck_unit(qcow2 vm)
vmdeck_unit(snapfile vm)
vmdeck_fuzz(qcow2 vm)
vmdeck_fuzz(snapfile vm)
