"""`harvester sandbox` as a person types it."""

import os
import re
import signal
from urllib.parse import quote

import aiohttp
from running import started


async def test_the_code_grant_can_be_tried() -> None:
    """The command says where to look, the page is there, and only the address that was named is registered."""
    back = "https://harvester.example.org/callback"
    process = await started({**os.environ}, "sandbox", "--port", "0", "--grant", "code", "--redirect", back)
    assert process.stderr
    told = (await process.stderr.readline() + await process.stderr.readline()).decode()
    found = re.search(r"Open (http://\S+) to try", told)
    assert found, told
    statuses = []
    async with aiohttp.ClientSession() as session:
        for address in (back, f"{found[1]}/"):
            query = f"response_type=code&client_id=local-sandbox&redirect_uri={quote(address)}"
            async with session.get(f"{found[1]}/oauth2/auth?{query}") as response:
                statuses.append(response.status)
    process.send_signal(signal.SIGTERM)
    await process.communicate()

    assert statuses == [200, 400]
    assert "'sandbox'" in told
