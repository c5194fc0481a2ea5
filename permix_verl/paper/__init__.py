"""The paper's tables: the commands that reproduce them, and published figures beside ours."""
