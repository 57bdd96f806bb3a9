class SampleDataLogic:
    @staticmethod
    def registerCustomSampleDataSource(
        category: str | None = ...,
        sampleName: str | None = ...,
        uris: str | None = ...,
        fileNames: str | None = ...,
        nodeNames: str | None = ...,
        thumbnailFileName: str | None = ...,
        checksums: str | None = ...,
    ) -> None: ...
