"""The commands that listen to something: listen, record, sort, devices."""
