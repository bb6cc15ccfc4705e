"""The app: pages and an API on one's own machine, without a network beyond it."""

from cutis.app.server import bind, create_app, serve
from cutis.app.settings import Settings

__all__ = ["Settings", "bind", "create_app", "serve"]
