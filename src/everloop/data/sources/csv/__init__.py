"""Blocks of a CSV file's bytes -> tables of whole records, each line as long as the header or refused by its number (RFC 4180)."""
