"""Processes of a job that begin with their libraries loaded: a program and its server."""
