"""What LiteLLM meant by an error that its application let through instead of answering.

Owns the refusals that LiteLLM cannot word: before it does, it asks its database client what kind of error it has, which
is not installed without the database extra, and that ends the request. Decides nothing about keys: LiteLLM has refused.
"""

_CLIENT = "prisma"
_NOT_AN_OBJECT = (AttributeError, TypeError)
"""What LiteLLM's checks run into when the body is JSON, but a list, a number, a string or null."""


def worded(error: Exception) -> tuple[int, str, str] | None:
    """Return status, reason word and message of a refusal that LiteLLM could not word; None for any other error."""
    if not isinstance(error, ModuleNotFoundError) or (error.name or "").partition(".")[0] != _CLIENT:
        return None
    cause: BaseException | None = error
    while isinstance(cause, ModuleNotFoundError):
        cause = cause.__context__
    if isinstance(cause, _NOT_AN_OBJECT):
        return 400, "request_invalid", "the body of the request must be a JSON object"
    return 401, "unauthenticated", "a valid key is needed, as `Authorization: Bearer ...`"
