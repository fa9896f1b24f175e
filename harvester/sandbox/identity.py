"""The identity server by its addresses: authorize, the forms of its pages, token, logout, discovery."""

from collections.abc import Callable
from http import HTTPStatus

from harvester.sandbox.clients import Clients
from harvester.sandbox.codes import Codes
from harvester.sandbox.counts import Counts
from harvester.sandbox.exchange import Answer, Call, json_answer, refusal
from harvester.sandbox.owners import Owners
from harvester.sandbox.settings import Settings
from harvester.sandbox.sign_in import SignIn, issuer
from harvester.sandbox.token_endpoint import TokenEndpoint
from harvester.sandbox.tokens import Tokens
from harvester.sandbox.world import World


class Identity:
    """Both grants, behind one function from request to answer."""

    def __init__(self, settings: Settings, world: World, counts: Counts, elapsed: Callable[[], float]) -> None:
        self.tokens = Tokens(settings, elapsed)
        self._settings = settings
        self._counts = counts
        self._codes = codes = Codes(settings.code_seconds, elapsed)
        clients, owners = Clients(settings), Owners(settings, world)
        self._endpoint = TokenEndpoint(
            settings=settings, clients=clients, codes=codes, tokens=self.tokens, counts=counts
        )
        self._sign_in = SignIn(settings, clients=clients, codes=codes, owners=owners, counts=counts, elapsed=elapsed)
        self._doors: dict[str, tuple[str, str, Callable[[Call], Answer]]] = {
            "oauth2/token": ("POST", "token", self._issue),
            "oauth2/logout": ("POST", "logout", self._endpoint.log_out),
            "oauth2/auth": ("GET", "auth", self._sign_in.open),
            "oauth2/login-actions/authenticate": ("POST", "auth", self._sign_in.authenticate),
            "oauth2/login-actions/consent": ("POST", "auth", self._sign_in.decide),
        }
        if settings.discovery:
            self._doors[".well-known/openid-configuration"] = ("GET", "auth", self._discovery)

    def answer(self, call: Call, words: list[str]) -> tuple[str, Answer] | None:
        """Return the kind of address and the answer; None where the address is not the identity server's."""
        doors = self._doors.get("/".join(words))
        if doors is None:
            return None
        method, kind, enter = doors
        return (kind, enter(call)) if call.method == method else ("other", refusal(405))

    def revoke(self, owner: str) -> None:
        """Let all codes and tokens that an owner gave die at once."""
        self._codes.revoke(owner.casefold())
        self.tokens.revoke(owner.casefold())

    def _issue(self, call: Call) -> Answer:
        answer = self._endpoint.issue(call)
        self._counts.tokens += answer.status == HTTPStatus.OK
        return answer

    def _discovery(self, call: Call) -> Answer:
        """Return what OpenID Connect Discovery asks for, as far as this cloud has it."""
        base = f"{call.origin}/oauth2"
        document: dict[str, object] = {
            "issuer": issuer(call),
            "authorization_endpoint": f"{base}/auth",
            "token_endpoint": f"{base}/token",
            "end_session_endpoint": f"{base}/logout",
            "grant_types_supported": ["authorization_code", "client_credentials", "refresh_token"],
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "scopes_supported": ["monitoringApi:read", "profile", "email", "offline_access"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "authorization_response_iss_parameter_supported": True,
        }
        if self._settings.pkce:
            document["code_challenge_methods_supported"] = ["plain", "S256"]
        return json_answer(document)
