"""Network elements that do not exist: SNMP agents told by scenario files. See README.md."""
