-- Lists of pipelines, a page at a time: an owner's, and everybody's. Byte by byte, whatever the database's language is.
CREATE INDEX pipelines_of_owner_by_name ON pipelines (owner, name COLLATE "C");
CREATE INDEX pipelines_by_name ON pipelines (name COLLATE "C");
