"""HTTP and WebSockets: who may ask, what is answered."""
