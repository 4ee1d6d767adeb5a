if(COMMAND vmdeck_e2e)
  vmdeck_e2e(mounts TIMEOUT 400)
  add_dependencies(e2e fs_conformance)
endif()
