"""The live loop: polls devices, adapts the hop under overload, records, and notifies systemd."""
