"""Beginnings of the programs that the store's tests run as processes of their own."""

OPEN = """
import sys
from everloop.store.database import Database
database = Database(sys.argv[1])
"""
