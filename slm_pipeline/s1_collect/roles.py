"""Who may do what to the call log: checked in code everywhere, and by grants on PostgreSQL (`schema.py`)."""

from enum import StrEnum


class Role(StrEnum):
    """What a process is to the log. The gateway, imports and replays are collectors, the assets are the pipeline."""

    COLLECTOR = "collector"
    PIPELINE = "pipeline"
    AUDITOR = "auditor"
    ADMIN = "admin"


class Operation(StrEnum):
    APPEND = "append calls and feedback"
    CHECK_KEYS = "check API keys"
    READ = "read calls"
    READ_TRAIL = "read the audit trail"
    MANAGE_KEYS = "manage API keys"
    ERASE = "erase a client"
    EXPIRE = "delete old calls"
    ROTATE = "rotate the master key"


ALLOWED = {
    Role.COLLECTOR: {Operation.APPEND, Operation.CHECK_KEYS},
    Role.PIPELINE: {Operation.READ},
    Role.AUDITOR: {Operation.READ_TRAIL},
    Role.ADMIN: set(Operation),
}


class NotAllowed(PermissionError):
    """A role tried what it may not do."""


def require(role: Role, operation: Operation) -> None:
    """Raise NotAllowed unless `role` may do `operation`."""
    if operation not in ALLOWED[role]:
        able = ", ".join(r for r in Role if operation in ALLOWED[r])
        raise NotAllowed(f"The role {role} may not {operation}; {able} may.")
