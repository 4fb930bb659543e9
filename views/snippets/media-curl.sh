curl -H "Authorization: Bearer $TOKEN_AGENT_KEY" %place%/media.json
