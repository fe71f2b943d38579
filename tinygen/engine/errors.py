"""Errors that name the operation which raised them."""

from __future__ import annotations


def refusal(operation: str, kind: type[Exception], message: str) -> Exception:
    """The error "operation: message" of that type."""
    return said_by(operation, kind(f"{operation}: {message}"))


def said_by(operation: str, error: Exception) -> Exception:
    """Tag the error with its operation: `error.operation` tells callers that it needs no further explanation."""
    error.operation = operation
    return error
