"""Why a command was refused: values that are counted and logged, not errors."""

from enum import StrEnum


class Reason(StrEnum):
    NO_POOL = "no-pool"
    POOL_FULL = "pool-full"
    NOT_OURS = "not-ours"
    IN_USE = "in-use"
    OTHER_ADDRESS = "other-address"
    UNKNOWN_CLIENT = "unknown-client"
    NOT_HOLDER = "not-holder"
    OTHER_EDGE = "other-edge"
    OTHER_LIFE = "other-life"
    FORMER_LIFE = "former-life"
    OTHER_LOG = "other-log"
    OLDER_EPOCH = "older-epoch"
    RECOVERING = "recovering"
    NOT_RECOVERING = "not-recovering"
    CONFLICT = "conflict"
    NOT_OPERATOR = "not-operator"
    NOT_VERIFIER = "not-verifier"
    NO_SNAPSHOT = "no-snapshot"
    OTHER_DIGEST = "other-digest"
    OWN_SNAPSHOT = "own-snapshot"
