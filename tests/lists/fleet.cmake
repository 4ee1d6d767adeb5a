if(TARGET session_cli)
  vmdeck_unit(show session_cli)
endif()
vmdeck_unit(store_leftover session_store)
