"""The ledger of consumed weight, in this process or in Redis, and the origin's clock, which its windows follow."""
