"""Pictures from the web: a table of URLs -> a folder of pictures and a table of the survivors.

addresses.py decides where a connection may go, web_client.py makes one request, schedule.py spreads
many over hosts, picture_store.py keeps what came. Imports shards, sources and below.
Start reading at url_table.py.
"""
