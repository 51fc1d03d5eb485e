"""The ASGI edge: middleware, health, metrics, feedback and the decision endpoints."""
