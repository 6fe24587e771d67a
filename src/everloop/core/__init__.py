"""The nouns and the pure rules on them: frozen records, content ids, errors. Imports nothing heavier than msgspec."""
