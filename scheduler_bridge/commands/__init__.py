"""The TCP command port of FOSSology's scheduler: what clients send, what they are answered, and who may ask."""
