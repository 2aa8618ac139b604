"""The backend process: protocol, server and client."""
