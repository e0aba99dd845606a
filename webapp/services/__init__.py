"""The use-cases: each loads, asks the domain, writes and commits once. None knows a request or a cookie."""
