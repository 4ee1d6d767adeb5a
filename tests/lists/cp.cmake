vmdeck_unit(cp_extract session_cli PkgConfig::ARCHIVE)
