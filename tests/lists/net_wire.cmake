if(TARGET session_cli)
  vmdeck_unit(cli_network session_cli)
endif()
