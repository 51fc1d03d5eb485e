"""A running gateway, seen as its clients see it."""

from routeiq.adapters.gateway.client import Answer, GatewayClient

__all__ = ["Answer", "GatewayClient"]
