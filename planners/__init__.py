"""Planners: fingerprint + budget -> Plan."""
