"""The bodies of requests, read up to a limit."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request


async def read_body(request: Request, limit: int) -> bytes:
    """The body of a request up to a limit in bytes, which is checked while it arrives.

    Raises:
        HTTPException: where it is larger, or breaks off.
    """
    parts, size = [], 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > limit:
                raise HTTPException(413, f"the body is larger than {limit} bytes")
            parts.append(part)
    except ClientDisconnect as error:
        raise HTTPException(400, "the body is incomplete") from error
    return b"".join(parts)
