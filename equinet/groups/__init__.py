"""Groups as values: sample, compose, invert, act."""

from equinet.groups.euclidean import SE as SE
from equinet.groups.euclidean import E as E
from equinet.groups.euclidean import SemidirectGroup as SemidirectGroup
from equinet.groups.group import Group as Group
from equinet.groups.group import MatrixLieGroup as MatrixLieGroup
from equinet.groups.orthogonal import SO as SO
from equinet.groups.orthogonal import O as O
