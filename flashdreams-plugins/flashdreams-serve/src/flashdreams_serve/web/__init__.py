"""The server: REST, WebSocket, WebRTC, and who may use them."""
