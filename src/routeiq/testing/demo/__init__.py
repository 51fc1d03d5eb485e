"""The demonstration behind `routeiq demo`: a provider process, a gateway process, official clients, and a table.

Runs as a program of its own (`python -m routeiq.testing.demo`), because nothing in the gateway may know that it is one.
"""
