"""Pictures from the web: a table of URLs -> a folder of pictures and a table of the survivors.

addresses decides where a connection may go, web_client makes one request, schedule spreads many
over hosts, picture_files keeps what came. Start reading at url_table.py. Imports shards, sources
and below.
"""
