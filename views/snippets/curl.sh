curl -H "Authorization: Bearer $TOKEN_AGENT_KEY" %token%.json
