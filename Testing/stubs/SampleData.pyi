from typing import Any

class SampleDataLogic:
    @staticmethod
    def registerCustomSampleDataSource(
        category: str = ...,
        sampleName: str | None = ...,
        uris: Any = ...,
        fileNames: Any = ...,
        nodeNames: Any = ...,
        customDownloader: Any = ...,
        thumbnailFileName: str | None = ...,
        loadFileTypes: Any = ...,
        loadFiles: Any = ...,
        loadFileProperties: Any = ...,
        checksums: Any = ...,
        loadFileType: Any = ...,
    ) -> None: ...
