"""Where entries are kept: in this process (L1), in Redis (L2), and the fill lock across replicas.

Owns: nothing itself; see the modules. Must not know: when an entry is used, filled or refused.
"""

from __future__ import annotations
